"""The API's own description. The messages of the gates in it have their schemas from the contract."""

from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi

from daemon.client.seen import Seen
from daemon.console.api.access import Viewer
from daemon.core import messages as m

TOLD = (Seen, m.DecisionMessage, m.GapMessage, m.PersonEntry)
router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi_json(session: Viewer, request: Request) -> dict[str, Any]:
    """The description of the API (OpenAPI 3.1)."""
    return document(request.app)


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the API."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, shared = msgspec.json.schema_components(TOLD, ref_template="#/components/schemas/{name}")
        del shared["Seen"]["properties"]["said"], shared["Seen"]["properties"]["odd"]
        parts = made.setdefault("components", {})
        parts["schemas"] = shared | parts.get("schemas", {})
        parts["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "the `token` of POST /api/session"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "ostiary", "description": "with X-CSRF-Token on all but GET"},
        }
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                if (path, method) != ("/api/session", "post"):
                    operation["security"] = [{"token": []}, {"cookie": []}]
        app.openapi_schema = made
    return app.openapi_schema
