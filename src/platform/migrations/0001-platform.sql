-- What the platform itself keeps: events, operations, secrets, remembered requests and tokens.

-- Append-only. Ids grow in the order of the commits: whoever appends holds an advisory lock from the insert to the
-- commit that follows at once (src/platform/events.ts), so a reader that has seen one id has seen all below it.
create table event (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  subject text not null,
  by text not null,
  reason text,
  data jsonb not null
);
create index event_subject on event (subject, id);
create index event_at on event (at);

create table operation (
  id text primary key,
  kind text not null,
  title text not null,
  state text not null check (state in
    ('pending', 'running', 'succeeded', 'recovering', 'recovered', 'failed', 'cancelled', 'fatal')),
  params jsonb not null,
  locks text[] not null,
  by text not null,
  reason text,
  waiting jsonb,
  problem jsonb,
  cancelled_by text,
  -- Which controller drives it, and until when it may without saying so again.
  owner text,
  lease_until timestamptz,
  -- Not before this time: the end of the pause after a retryable problem.
  wake_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  ended_at timestamptz
);
create index operation_open on operation (created_at) where state in ('pending', 'running', 'recovering');
create index operation_ended on operation (ended_at) where ended_at is not null;
create index operation_locks on operation using gin (locks);
create index operation_kind on operation (kind, id);

create table operation_step (
  operation_id text not null references operation (id) on delete cascade,
  position int not null,
  name text not null,
  state text not null check (state in ('pending', 'running', 'done', 'failed', 'undoing', 'undone')),
  attempts int not null default 0,
  undo_attempts int not null default 0,
  -- True from before an attempt until its outcome is stored: an attempt that a killed controller left is still open.
  open boolean not null default false,
  interruptions int not null default 0,
  -- What the attempts and the pauses between them have taken of the step's time limit.
  spent_ms int not null default 0,
  output jsonb not null default 'null',
  lines jsonb not null default '[]',
  problem jsonb,
  started_at timestamptz,
  ended_at timestamptz,
  primary key (operation_id, position)
);

create table operation_lock (
  name text primary key,
  operation_id text not null references operation (id) on delete cascade
);
create index operation_lock_operation on operation_lock (operation_id);

create table secret (
  name text primary key,
  key_id text not null,
  nonce bytea not null,
  ciphertext bytea not null,
  changed_at timestamptz not null default now()
);
create index secret_key on secret (key_id);

create table remembered_request (
  key text not null,
  route text not null,
  who text not null,
  request_hash text not null,
  -- Null while the first request is under way.
  response jsonb,
  created_at timestamptz not null default clock_timestamp(),
  primary key (key, route, who)
);
create index remembered_request_created on remembered_request (created_at);

create table token (
  id text primary key,
  name text not null,
  hash text not null unique,
  scopes text[] not null,
  by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_by text,
  last_used_at timestamptz
);
