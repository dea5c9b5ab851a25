-- Why a server is being emptied; null: it is not. Apart from its state, since it also holds while the server is lost: one that
-- reboots in the middle of it comes back as draining.
ALTER TABLE server ADD COLUMN drain_reason text;
UPDATE server SET drain_reason = reason WHERE state = 'draining';
