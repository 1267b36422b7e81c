"""Kinds of values that several keys of the configuration have."""

from typing import Annotated

from msgspec import Meta

NOT_A_PATH = "not a path"
"""`extra` of a key that holds a path: the pattern of the values that are none, and stay as they are."""

FilePath = Annotated[str, Meta(extra={NOT_A_PATH: ""})]
Corner = tuple[Annotated[float, Meta(ge=0, le=1)], Annotated[float, Meta(ge=0, le=1)]]
Share = Annotated[float, Meta(title="rate", gt=0, lt=1)]
Similarity = Annotated[float, Meta(title="similarity", gt=0, lt=1)]
Seconds = Annotated[float, Meta(gt=0)]
