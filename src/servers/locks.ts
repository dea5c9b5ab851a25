// What operations on servers exclude each other by. Apart from the files of the operations, which are read for these two names.

/** Whatever is done to a whole server; and the server as the subject of events. */
export const serverLock = (server: string): string => `server:${server}`;
/** Fencing and cleaning exclude each other and nothing else: whatever is under way on a server that is lost, it is fenced. */
export const fenceLock = (server: string): string => `fence:${server}`;
