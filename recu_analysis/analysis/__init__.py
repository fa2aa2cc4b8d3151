"""From a run directory to answers in tidy DataFrames; no drawing."""
