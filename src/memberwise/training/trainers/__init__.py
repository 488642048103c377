"""What trains a block of jobs, and collects from the models: networks stacked, or estimators one by one."""
