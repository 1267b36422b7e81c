"""From a frame to matches: the line as functions, what every command opens, and the replay."""
