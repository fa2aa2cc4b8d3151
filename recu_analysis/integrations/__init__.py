"""Recording within other training libraries, and scalars for dashboards; each module needs its library."""
