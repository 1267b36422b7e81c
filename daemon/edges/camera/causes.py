"""Why a camera gives no pictures, in words: what it is, and what to do. None of it is made from the address."""

from daemon.core.values import STREAM_OPEN
from daemon.edges.camera.wire import Cause, Way

LOGIN_CAUSES = frozenset({Cause.LOGIN_REFUSED, Cause.LOGIN_NEEDED, Cause.FORBIDDEN})
"""After these the next try waits long: cameras lock accounts."""

_WORDS = {
    Cause.LOGIN_REFUSED: "it refuses user name and password: correct them (`username`, `password_file`)",
    Cause.LOGIN_NEEDED: "it asks for user name and password: give both (`username`, `password_file`)",
    Cause.FORBIDDEN: "this user may not see the stream: give the right in the camera's settings, or another `username`",
    Cause.NOT_FOUND: "it does not know the path of the URL: look up the path of the video stream in the camera's manual",
    Cause.REQUEST_REFUSED: "it refuses the request: look up the URL of the video stream in the camera's manual; too many may be watching",
    Cause.SERVER_ERROR: "it reports a failure of its own: start the camera again, and see that not too many are watching",
    Cause.UNKNOWN_HOST: "its name is not known here: is it written right, and does the name service work?",
    Cause.NO_ROUTE: "there is no way to its network: are cable, address and route of this machine right?",
    Cause.PORT_REFUSED: "nothing listens at the port: is the port right, and RTSP or HTTP switched on in the camera?",
    Cause.TIMEOUT: "it does not answer: is it switched on, is the address right, does a firewall stand between?",
    Cause.HUNG_UP: "it hangs up at once: is the port right, and are not too many watching?",
    Cause.SPEAKS_RTSP: "what answers at this port speaks RTSP: begin the URL with rtsp://",
    Cause.SPEAKS_HTTP: "what answers at this port speaks HTTP: begin the URL with http://, or give the port of RTSP (554 is usual)",
    Cause.SPEAKS_TLS: "what answers at this port wants encryption: begin the URL with rtsps:// or https://",
    Cause.NO_TLS: "encryption cannot be agreed on: without it the URL begins with rtsp:// or http://; or renew the camera's firmware",
    Cause.NOT_UNDERSTOOD: "it answers, and sends nothing that is a video: look up the URL of the video stream in the camera's manual",
    Cause.NO_VIDEO: "the stream has no video: is video switched on in the camera, and is the path that of a video stream?",
    Cause.NO_DECODER: "its video has a format that cannot be decoded here: set the camera to H.264, H.265 or MJPEG",
    Cause.UNDECODABLE: "it sends no pictures that can be decoded: set the camera to H.264, H.265 or MJPEG; with udp, try tcp",
    Cause.TOO_LARGE: "its pictures are larger than 8192×4608: set the camera to a smaller size",
    Cause.ODD_SHAPE: "its pictures are no wider or no higher than a few pixels, or a strip: set a usual size in the camera",
    Cause.NOT_LIVE: "it sends faster than things happen: this is a recording, and no live picture; give the URL of the live stream",
    Cause.ONE_PICTURE: "the URL is that of one picture, and no stream: give the URL of the MJPEG or RTSP stream",
    Cause.SEGMENTS: "the URL is that of HLS or DASH, whose pictures are many seconds old: give the URL of the RTSP or MJPEG stream",
    Cause.ENDED: "it ended the stream",
    Cause.PARTS: "it separates its pictures in an odd way: they are looked for one by one now",
    Cause.SILENT: "it has sent nothing for {:.0f} s",
    Cause.FROZEN: "nothing in the picture has changed for {:.0f} s",
    Cause.QUIET: "nothing has moved in its picture for {:.0f} s: is the lens covered, or the camera frozen? Where nobody comes "
    "for so long, raise the gate's quiet_s",
    Cause.LATE: "its pictures come {:.1f} s late: the network is too slow for the stream, or the camera's time stamps are wrong",
    Cause.NO_KEY: "no whole picture came in {:.0f} s: set a shorter interval of key frames in the camera (2 s)",
    Cause.NO_DEVICE: "there is no such device: is the camera plugged in?",
    Cause.DEVICE_BUSY: "another program uses the device: end it",
    Cause.DEVICE_DENIED: "the daemon's user may not open the device: add it to the group `video`",
    Cause.NOT_A_CAMERA: "the device gives no pictures: most cameras have several devices; try the others",
    Cause.MEMORY: "its pictures need more memory than there is: set the camera to a smaller size",
    Cause.ELSEWHERE: "it sends this machine on to another place: give the URL of the video stream itself",
    Cause.FAILED: "reading it failed (error {:.0f})",
    Cause.NOT_STARTED: "its process cannot be started (error {:.0f}): look at memory and at the limits of the service",
    Cause.HANGS: "its process hung and was ended",
    Cause.CRASHED: "its process broke off (status {:.0f}): a stream may have been damaged",
    Cause.NONSENSE: "its process spoke nonsense and was ended: a stream may have been damaged",
}

_WAYS = {
    Way.LATE_NETWORK: "its pictures come {:.1f} s late: lower bit rate or frame rate, or mend the network",
    Way.LATE_DECODING: "this machine decodes too slowly, and leaves pictures out: set a smaller size or frame rate in the camera, or H.264",
    Way.FROZEN: "nothing in the picture has changed for {:.0f} s",
    Way.QUIET: "nothing has moved in its picture for {:.0f} s: look whether the camera works; where nobody comes for so long, "
    "raise the gate's quiet_s",
    Way.WAITING: STREAM_OPEN,
}


def said(cause: Cause, amount: float) -> str:
    """The cause of an end in words. `amount` is seconds, an error's number or a status, by the cause."""
    return _WORDS[cause].format(amount)


def going(way: Way, amount: float) -> str | None:
    """In words how pictures come, None while they come well. `amount` is seconds."""
    return _WAYS[way].format(amount) if way in _WAYS else None
