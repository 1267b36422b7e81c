"""The edge service: camera frames in, access decisions out."""

import os

# onnxruntime reads this once, at import, and otherwise keeps a device id and an event database (pitfalls: telemetry).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenCV reads this before the first decode; a 400 KB picture can otherwise ask for gigabytes.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(50_000_000))
