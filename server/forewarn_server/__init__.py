"""The health authority's server: codes, publish, exports, feeds, retention."""
