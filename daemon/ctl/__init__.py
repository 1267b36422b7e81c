"""`ostiaryctl`: an MQTT client that sends commands to gates and shows what they say."""

import os

# OpenCV reads this once, when it is loaded: the largest picture that `pictures.py` decodes, three bytes a pixel.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")
