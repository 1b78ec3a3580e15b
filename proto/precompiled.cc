// A target needs a source of its own to make a precompiled header.
