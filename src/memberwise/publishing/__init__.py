"""Where results go: an evidence pack, trackers of experiments, cards and bills of materials."""
