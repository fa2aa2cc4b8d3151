"""Recording within other training libraries, and scalars for their dashboards; each needs the library itself."""
