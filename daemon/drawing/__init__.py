"""Drawing a replay for people: the annotated video, and the page that somebody can judge by looking."""
