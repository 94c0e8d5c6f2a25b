-- +goose Up

SET LOCAL lock_timeout = '100ms';

-- When the node was last granted visits of this link. The program before this one sets it only with its first grant.
ALTER TABLE visit_leases ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT now();
