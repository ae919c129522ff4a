"""Archive: a detector over hours of footage, cut into shards, shared out, and put together again."""
