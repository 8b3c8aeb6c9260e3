"""The signed advice feed: what an alert tells a person of this region, in Vietnamese and English."""
