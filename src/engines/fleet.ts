// The fleet: containers, images, volumes and servers, as the rest of Espalier sees them. Apart from its
// implementations (incus/, simulated/) so that rooms code against this shape and one conformance suite
// (fleet-conformance.ts) holds both to it.
//
// A fleet is bound at construction to one place: an Incus project, a bridge network and a storage pool.
// Whatever it makes carries the config key `user.espalier.managed` = the project's name; it never changes or
// deletes what does not carry it. Every call is bounded in time; nothing is retried here. Problems are those of
// incus/problems.ts, and `retryable` on them says whether waiting may help.

/** Bounds of one call. `timeoutMs` defaults to what the method says; an abort rejects with the signal's reason. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
}

/** Our facts on an object: config keys `user.espalier.*`, given and returned without that prefix. */
export type Labels = Readonly<Record<string, string>>;

/** Containers, images, volumes and servers of one place. Defaults: reads 10 s, changes 60 s, images 600 s. */
export interface Fleet {
  readonly place: FleetPlace;
  readonly instances: Instances;
  readonly files: Files;
  readonly images: Images;
  readonly snapshots: Snapshots;
  readonly volumes: Volumes;
  readonly cluster: Cluster;

  /** What this place can do; read from the engine. */
  capabilities(options?: CallOptions): Promise<FleetCapabilities>;
  /**
   * Makes project, network and storage pool where they are missing; a second time it changes nothing.
   * `incus.not-ours` when one of that name exists without our key.
   */
  setUp(wanted: FleetSetup, options?: CallOptions): Promise<FleetUsage>;
  /** What stands now, or undefined before setUp. */
  usage(options?: CallOptions): Promise<FleetUsage | undefined>;
  /** Removes every object of ours in the place, then the place itself. Absent things are fine. Default 600 s. */
  tearDown(options?: CallOptions): Promise<void>;
  /** The machines that can carry containers: the cluster's members, or the one server. */
  servers(options?: CallOptions): Promise<FleetServer[]>;
  /** The name of the server that this connection ends at. */
  localServer(options?: CallOptions): Promise<string>;
  /**
   * Runs a command in a running container and resolves when it ends, whatever its exit code. Default 60 s; at the
   * timeout or an abort the command is killed (SIGKILL). `incus.exec-timed-out`, `incus.not-running`,
   * `incus.not-found`.
   */
  exec(name: string, argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /**
   * Lifecycle events of the place until `signal` aborts (then it ends without an error). There is no replay: a `reset`
   * comes first, and again whenever the stream was interrupted; its reader lists anew.
   */
  events(signal: AbortSignal): AsyncIterable<FleetEvent>;
  /** Releases connections. */
  close(): Promise<void>;
}

/** Several servers as one engine. Asked of any member. */
export interface Cluster {
  /**
   * Makes the only server the first of a cluster, which the others reach at `address` (`10.0.0.11:8443`). A second time it
   * changes nothing.
   */
  enable(address: string, options?: CallOptions): Promise<void>;
  /** What a new machine of this name joins with, once. Those made before for the name are void. */
  makeJoinToken(server: string, options?: CallOptions): Promise<string>;
  /** Takes a server out; an absent one is fine. `force`: also one that is away, or carries containers. */
  remove(server: string, options?: CallOptions & { force?: boolean }): Promise<void>;
}

/** The names a fleet is bound to. */
export interface FleetPlace {
  /** Incus project; also the value of the managed key. */
  readonly project: string;
  /** Bridge network, outside the project (networks are the whole machine's). */
  readonly network: string;
  /** Storage pool, outside the project. */
  readonly storagePool: string;
}

export interface FleetCapabilities {
  /** Copies and launches share blocks with their source (btrfs, zfs, ceph, thin lvm). */
  copyOnWrite: boolean;
  /** More than one server can be a member. */
  cluster: boolean;
  /** The kernel can mount host paths and volumes id-mapped (`shift`). A server that is itself a container may refuse yet. */
  shift: boolean;
}

export interface FleetSetup {
  /** The bridge's own address and prefix, such as `10.87.0.1/24`; the engine chooses a free one when left out. */
  cidr?: string;
  /** `btrfs`, `zfs`, `lvm`, `dir` … */
  driver: string;
  /** Size of the pool's loop file; the engine chooses when left out; not for `dir`. */
  sizeGib?: number;
}

export interface FleetUsage {
  /** The bridge's address and prefix as it stands. */
  cidr: string;
  /** Addresses from here to lastStatic may be given to NICs; DHCP hands out none of them by itself. */
  firstStatic: string;
  lastStatic: string;
  driver: string;
  diskTotalBytes: number;
  diskUsedBytes: number;
}

/** A machine. `offline`: the cluster, or we, do not hear it. `blocked`: waits for others to be upgraded. */
export interface FleetServer {
  name: string;
  /** `https://…` in a cluster, empty on a single server. */
  address: string;
  status: 'online' | 'offline' | 'evacuated' | 'blocked';
  /** Why it is in that status, in the engine's words. */
  message: string;
  cores: number;
  memoryBytes: number;
  memoryFreeBytes: number;
  /** Free in the place's storage pool. */
  diskFreeBytes: number;
}

// ---- instances ----

/**
 * A container's device. A `root` disk in the place's storage pool is always there; name it only to give it a size.
 * Device names are the keys of `devices`.
 */
export type Device =
  | { kind: 'root'; sizeGib: number }
  /** In the place's network; the address is static and known before the boot when given. */
  | { kind: 'nic'; ipv4Address?: string }
  /** A host path; `shift` maps the container's ids onto the host's. */
  | { kind: 'disk'; source: string; path: string; readonly?: boolean; shift?: boolean }
  /** A custom volume of the place; several containers may have the same one. */
  | { kind: 'volume'; volume: string; path: string; readonly?: boolean }
  /** A listening socket on the host carried into the container: `tcp:0.0.0.0:80` → `tcp:127.0.0.1:80`, `unix:/path`. */
  | { kind: 'proxy'; listen: string; connect: string; proxyProtocol?: boolean };

export type InstanceSource =
  /** Fingerprint or alias. */
  | { image: string }
  /** `instance` or `instance/snapshot`; config, labels and devices are NOT taken over from it. */
  | { copyOf: string };

export interface InstanceSpec {
  name: string;
  /** Server to place it on; the one that the connection ends at when left out. */
  server?: string;
  source: InstanceSource;
  labels: Labels;
  /** Engine config (`limits.memory`, `security.idmap.isolated`, `boot.autostart` …); not `user.*`. */
  config?: Readonly<Record<string, string>>;
  devices: Readonly<Record<string, Device>>;
  /** Start it too. Default false. */
  start?: boolean;
}

export type InstanceStatus = 'running' | 'stopped' | 'frozen' | 'error' | 'changing';

export interface Instance {
  name: string;
  server: string;
  status: InstanceStatus;
  /** ISO 8601. */
  createdAt: string;
  labels: Labels;
  /** Engine config without `user.*`, `volatile.*` and `image.*`. */
  config: Readonly<Record<string, string>>;
  /** Those that `Device` can say. */
  devices: Readonly<Record<string, Device>>;
  /** Fingerprint of the image it was made from, when known. */
  image: string | undefined;
  /** Only when listed with `withState`. */
  state?: InstanceState;
}

export interface InstanceState {
  status: InstanceStatus;
  /** Global IPv4 addresses of its NICs; empty while it boots or is stopped. */
  addresses: string[];
  memoryBytes: number;
  /** CPU time used since its start, in seconds. */
  cpuS: number;
  processes: number;
  /** Its first process, as the server that carries it numbers processes; 0 when it does not run, or is simulated. */
  pid: number;
}

export interface InstanceFilter {
  /** Only those that carry all of these. */
  labels?: Labels;
  server?: string;
  /** Read each one's state too (one call to the engine all the same). */
  withState?: boolean;
}

/** Containers of ours. Those in the project without our key are not listed, and are refused as `incus.not-ours`. */
export interface Instances {
  /** With a server that the engine does not reach: `incus.away`. Without one, those on such servers are left out. */
  list(filter?: InstanceFilter, options?: CallOptions): Promise<Instance[]>;
  read(name: string, options?: CallOptions): Promise<Instance | undefined>;
  /** `incus.not-found` when absent. */
  readState(name: string, options?: CallOptions): Promise<InstanceState>;
  /**
   * `incus.exists` when one of that name exists, `incus.source-not-found` when its image, copy source or volume does not.
   * When it can be made but not started, it stays, stopped: delete it, or go on with ensure.
   */
  create(spec: InstanceSpec, options?: CallOptions): Promise<Instance>;
  /**
   * As create, but an existing one that carries all of the given labels is brought to the spec's config and devices,
   * started if wanted, and returned: for steps that may run twice. Default 120 s.
   */
  ensure(spec: InstanceSpec, options?: CallOptions): Promise<Instance>;
  /** A running one is fine. */
  start(name: string, options?: CallOptions): Promise<void>;
  /**
   * `force` kills; otherwise it is asked, and `incus.timed-out` after the bound. One that has only just been started may
   * not hear it: its first process must be listening. A stopped one is fine.
   */
  stop(name: string, options?: CallOptions & { force?: boolean }): Promise<void>;
  restart(name: string, options?: CallOptions & { force?: boolean }): Promise<void>;
  /** An absent one is fine. A running one needs `force`, else `incus.running`. */
  delete(name: string, options?: CallOptions & { force?: boolean }): Promise<void>;
  /** Sets the given config keys and labels; a null removes one; others stay. */
  updateConfig(
    name: string,
    change: { config?: Readonly<Record<string, string | null>>; labels?: Readonly<Record<string, string | null>> },
    options?: CallOptions,
  ): Promise<void>;
  /** Replaces all devices (the root disk stays). Applied live where the engine can. */
  updateDevices(name: string, devices: Readonly<Record<string, Device>>, options?: CallOptions): Promise<void>;
  /** The tail (64 KiB at most) of what it wrote to its console and of the engine's log of it, for failure reports. */
  readLog(name: string, options?: CallOptions): Promise<string>;
}

// ---- commands ----

export interface ExecOptions extends CallOptions {
  env?: Readonly<Record<string, string>>;
  /** Given to the command at once, then its standard input ends. Without it standard input is empty. */
  stdin?: string | Uint8Array;
  /** Default 0. */
  uid?: number;
  /** Default 0. */
  gid?: number;
  cwd?: string;
  /** Of each of stdout and stderr this much is kept (the last bytes); the command is not stopped. Default 1 MiB. */
  maxOutputBytes?: number;
  /** Hears the output while it comes, in pieces that may split lines. */
  onOutput?: (text: string, stream: 'stdout' | 'stderr') => void;
}

export interface ExecResult {
  /** Exit code; 128 + signal when killed by one; 127 when the program is not there, 126 when it cannot be executed. */
  code: number;
  stdout: string;
  stderr: string;
  /** True when output was more than maxOutputBytes. */
  truncated: boolean;
}

// ---- files ----

export interface FileAttributes {
  /** Permission bits, such as 0o644 (the default). */
  mode?: number;
  /** Default 0. */
  uid?: number;
  /** Default 0. */
  gid?: number;
}

/** Something in a tree, by its path relative to the tree's top. */
export type TreeEntry =
  | ({ path: string; content: string | Uint8Array } & FileAttributes)
  | ({ path: string; directory: true } & FileAttributes)
  | { path: string; link: string };

/** A folder of the host (owned by root in the container, modes kept), or entries. */
export type Tree = { folder: string } | { entries: readonly TreeEntry[] };

/** A file or link as it lies in a container. Its content by its SHA-256, in hexadecimal. */
export type ListedFile = { path: string; mode: number; uid: number; gid: number } & (
  | { sha256: string }
  | { link: string }
);

export interface Files {
  /** Writes or overwrites; its folder must exist (`incus.not-found`). Works on a stopped container too. Not atomic. */
  write(
    name: string,
    path: string,
    content: string | Uint8Array,
    options?: CallOptions & FileAttributes,
  ): Promise<void>;
  /** `incus.not-found` when absent, `incus.refused` when it is a folder. */
  read(name: string, path: string, options?: CallOptions): Promise<Uint8Array>;
  /** As read, in pieces as they come: however large the file is, little of it is in memory. Default 1 h for all. */
  readPieces(name: string, path: string, options?: CallOptions): Promise<AsyncIterable<Uint8Array>>;
  /** As write, in pieces as they come. Default 1 h for all. */
  writePieces(
    name: string,
    path: string,
    pieces: AsyncIterable<Uint8Array>,
    options?: CallOptions & FileAttributes,
  ): Promise<void>;
  /**
   * Writes a whole tree into a folder of a running container; nothing is deleted. Missing folders are made (0755, root),
   * existing ones keep their owner and mode, except those that `entries` name. Default 120 s.
   */
  writeTree(name: string, tree: Tree, to: string, options?: CallOptions): Promise<void>;
  /**
   * Files and links of a running container below a folder, by their paths; what is mounted there and what is in `skip`
   * (paths of folders) is left out. A file that comes or goes meanwhile may be missing. Default 300 s.
   */
  list(name: string, folder: string, options?: CallOptions & { skip?: readonly string[] }): Promise<ListedFile[]>;
  /** A file or an empty folder. An absent one is fine. */
  remove(name: string, path: string, options?: CallOptions): Promise<void>;
}

// ---- images ----

export interface Image {
  /** SHA-256 of its content: its identity. */
  fingerprint: string;
  aliases: string[];
  labels: Labels;
  sizeBytes: number;
  /** ISO 8601. */
  createdAt: string;
}

/** Files on the host. Unified: one tarball with metadata.yaml and rootfs/. Split: metadata tarball and squashfs or tarball. */
export type ImageFiles = { unified: string } | { metadata: string; rootfs: string };

export interface ImageWish {
  /** An alias that existed is moved to the new image. */
  alias?: string;
  labels: Labels;
  /** Shown by the engine's own tools. */
  description?: string;
}

export interface Images {
  list(filter?: { labels?: Labels }, options?: CallOptions): Promise<Image[]>;
  /** By fingerprint or alias. */
  read(id: string, options?: CallOptions): Promise<Image | undefined>;
  /** The same content twice is one image; the second wish's alias and labels win. Default 600 s. */
  import(files: ImageFiles, wish: ImageWish, options?: CallOptions): Promise<Image>;
  /** From a stopped instance (`incus.running` otherwise) or `instance/snapshot`, uncompressed. Default 600 s. */
  publish(from: string, wish: ImageWish, options?: CallOptions): Promise<Image>;
  /** By fingerprint or alias. An absent one is fine; instances made from it live on. */
  delete(id: string, options?: CallOptions): Promise<void>;
}

// ---- snapshots and volumes ----

export interface Snapshot {
  name: string;
  /** ISO 8601. */
  createdAt: string;
}

export interface Snapshots {
  /** `incus.exists` when there is one of that name. */
  create(instance: string, snapshot: string, options?: CallOptions): Promise<void>;
  /** Oldest first. */
  list(instance: string, options?: CallOptions): Promise<Snapshot[]>;
  /** Puts the instance's disk back; a running one is restarted by the engine. */
  restore(instance: string, snapshot: string, options?: CallOptions): Promise<void>;
  /** An absent one is fine. */
  delete(instance: string, snapshot: string, options?: CallOptions): Promise<void>;
}

export interface VolumeSpec {
  name: string;
  labels: Labels;
  /** Id-mapped for each container that mounts it, so that several with different id maps see the same owners. */
  shifted?: boolean;
  sizeGib?: number;
  /** Server whose pool holds it; the one that the connection ends at when left out. */
  server?: string;
}

export interface Volume {
  name: string;
  server: string;
  labels: Labels;
  shifted: boolean;
  /** Names of instances that mount it. */
  usedBy: string[];
  /** ISO 8601. */
  createdAt: string;
}

/** Custom file-system volumes of the place. */
export interface Volumes {
  list(filter?: { labels?: Labels }, options?: CallOptions): Promise<Volume[]>;
  read(name: string, options?: CallOptions): Promise<Volume | undefined>;
  /** `incus.exists` when there is one of that name. */
  create(spec: VolumeSpec, options?: CallOptions): Promise<Volume>;
  /** `from` is `volume` or `volume/snapshot`; `incus.source-not-found`. Copy-on-write where the pool can. */
  copy(from: string, spec: VolumeSpec, options?: CallOptions): Promise<Volume>;
  /**
   * Makes the volume on the server of `spec` alike to `from`, wherever that lies: copied the first time, brought up to date each
   * time after. Who mounts the copy must be stopped. `incus.source-not-found`. Default 1 h.
   */
  carry(from: string, spec: VolumeSpec & { server: string }, options?: CallOptions): Promise<Volume>;
  /** An absent one is fine; one in use is `incus.in-use`. */
  delete(name: string, options?: CallOptions): Promise<void>;
  createSnapshot(volume: string, snapshot: string, options?: CallOptions): Promise<void>;
  /** Oldest first. */
  listSnapshots(volume: string, options?: CallOptions): Promise<Snapshot[]>;
  /** Puts the volume's content back. The instances that mount it must be stopped (`incus.in-use`). */
  restoreSnapshot(volume: string, snapshot: string, options?: CallOptions): Promise<void>;
  /** An absent one is fine. */
  deleteSnapshot(volume: string, snapshot: string, options?: CallOptions): Promise<void>;
}

// ---- events ----

/** `action` is the engine's word, such as `instance-started`, `instance-shutdown`, `instance-deleted`, `image-created`. */
export type FleetEvent =
  | { kind: 'reset' }
  | {
      kind: 'lifecycle';
      action: string;
      /** What it happened to: instance, image fingerprint, volume … */
      name: string;
      /** ISO 8601. */
      at: string;
      /** Server where it happened. */
      server: string;
    };
