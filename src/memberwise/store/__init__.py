"""What lies on disk: files written whole, blocks of arrays, run folders."""
