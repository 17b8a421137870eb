"""Random but realistic truth, labels and predictions for timing the metric."""
