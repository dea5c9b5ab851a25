-- A copy to try things on may be kept from calling anybody: payments, hooks, feeds.
ALTER TABLE site ADD COLUMN hooks_held boolean NOT NULL DEFAULT false;
