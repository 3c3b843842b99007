//! Spans to blobs and back: versioned, compressed, signed, bounded.
