#!/usr/bin/env bash
# Install GStreamer's RTSP server for the tests if that needs no password. Otherwise say that the tests with RTSP cameras will be skipped.
set -u
ask="import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None)
assert all(Gst.ElementFactory.find(name) for name in ('x264enc', 'x265enc', 'jpegenc', 'rtph264pay', 'appsrc'))"
there() { /usr/bin/python3 -c "$ask" 2>/dev/null; }
there && exit 0
packages=(python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly)
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo -n); fi
if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
  echo "installing GStreamer's RTSP server for the tests with cameras"
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq)
  said=$({ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; } 2>&1) || echo "$said" | tail -n 3
fi
there || echo "GStreamer's RTSP server is not installed, and installing it needs apt and root: tests with RTSP cameras will be skipped"
exit 0
