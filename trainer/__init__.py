import os

# Read by Keras and TensorFlow when they are imported, which happens below this package only (what ONNX Runtime reads: `daemon`).
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
