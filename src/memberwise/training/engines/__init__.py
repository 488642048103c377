"""Where blocks of models are trained and asked."""
