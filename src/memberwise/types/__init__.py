"""What signatures are written in: arrays by name, and typed parts as plain values."""
