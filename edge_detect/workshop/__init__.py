"""Workshop: from a data set to a trained, quantized, self-describing detector; never on the device."""
