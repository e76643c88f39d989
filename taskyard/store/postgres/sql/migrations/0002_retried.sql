-- Whether the task was ever retried by itself after a failure: it counts as retried once, however often it is reopened.
ALTER TABLE task ADD COLUMN retried bigint NOT NULL DEFAULT 0;
