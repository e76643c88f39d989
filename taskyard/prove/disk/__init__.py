"""The disk's word: what can be told of whether a sync puts data where it outlives the machine's power."""
