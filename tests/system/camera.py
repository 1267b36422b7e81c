"""A network camera for the system test: pictures of a folder, over and over, as H.264 over RTSP with a login (GStreamer's server).

Debian's own Python runs this, because the bindings are Debian's: /usr/bin/python3 camera.py FOLDER PORT FPS USER PASSWORD
"""

import sys

import gi  # type: ignore[import-untyped,import-not-found,unused-ignore]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: E402


def main(folder: str, port: str, fps: str, user: str, password: str) -> None:
    """Serve rtsp://127.0.0.1:PORT/gate until killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory, allowed = GstRtspServer.RTSPMediaFactory(), GstRtspServer.RTSPPermissions()
    allowed.add_role("viewer")
    for permission in ("media.factory.access", "media.factory.construct"):
        allowed.add_permission_for_role("viewer", permission, True)
    factory.set_permissions(allowed)
    factory.set_shared(True)
    factory.set_launch(
        f'( multifilesrc location={folder}/%04d.jpg loop=true caps="image/jpeg,framerate={fps}/1" ! jpegdec ! videoconvert'
        " ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=veryfast bitrate=4000 key-int-max=12"
        " ! rtph264pay name=pay0 pt=96 )"
    )
    server.get_mount_points().add_factory("/gate", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
