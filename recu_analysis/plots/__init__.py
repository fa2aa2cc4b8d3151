"""Drawing: a table (and an Axes) in, an Axes out; the only room with matplotlib, and none of it opens a run."""
