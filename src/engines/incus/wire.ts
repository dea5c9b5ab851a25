// The parts of Incus's JSON that we read, as its REST API (1.0) documents them. Apart so that parse.ts can be
// checked against it; nothing outside incus/ sees these.

export interface WireAnswer<T> {
  type: 'sync' | 'async' | 'error';
  error: string;
  error_code: number;
  metadata: T;
}

/** `status_code`: 103 running, 200 success, 400 failure, 401 cancelled. */
export interface WireOperation {
  id: string;
  status: string;
  status_code: number;
  err: string;
  metadata: Record<string, unknown> | null;
}

export type WireConfig = Record<string, string>;
export type WireDevices = Record<string, Record<string, string>>;

export interface WireInstance {
  name: string;
  location: string;
  status: string;
  created_at: string;
  type: string;
  architecture: string;
  description: string;
  ephemeral: boolean;
  profiles: string[];
  config: WireConfig;
  devices: WireDevices;
  state?: WireInstanceState | null;
}

export interface WireInstanceState {
  status: string;
  memory?: { usage: number };
  cpu?: { usage: number };
  processes: number;
  pid?: number;
  network: Record<string, { addresses: { family: string; scope: string; address: string }[] }> | null;
}

export interface WireImage {
  fingerprint: string;
  aliases: { name: string }[] | null;
  properties: WireConfig | null;
  size: number;
  /** When the image's maker made it; uploaded_at is when it came here. */
  uploaded_at: string;
}

export interface WireSnapshot {
  name: string;
  created_at: string;
}

export interface WireVolume {
  name: string;
  type: string;
  location: string;
  config: WireConfig;
  used_by: string[] | null;
  created_at: string;
}

/** Project, network or storage pool. */
export interface WireOwned {
  name: string;
  config: WireConfig;
  driver?: string;
  status?: string;
}

export interface WireServer {
  environment: {
    server_name: string;
    server_clustered: boolean;
    /** Of the whole cluster, where there is one. */
    certificate: string;
    kernel_features: Record<string, string>;
  };
}

export interface WireResources {
  cpu: { total: number };
  memory: { total: number; used: number };
}

export interface WirePoolResources {
  space: { total: number; used: number };
}

export interface WireMember {
  server_name: string;
  url: string;
  status: string;
  message: string;
}

export interface WireEvent {
  type: string;
  timestamp: string;
  location?: string;
  project?: string;
  metadata: { action: string; source: string; name?: string; project?: string };
}
