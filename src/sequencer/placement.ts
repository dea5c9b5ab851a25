// Why a run is on its server, as it is stored with each run: a few characters, since a sentence is sent, stored, logged and copied
// to the history with each of them. `20% 3/8` is the only server that had room, `20% 3/8 server-2 5` the better of two of five by chance.

/** The server's pressure (percent) and slots at the choice; beside which other one, of how many, it was chosen. */
export function toPlacement(
  chosen: { pressure: number; free: number; slots: number },
  beside?: { server: string; of: number },
): string {
  const state = `${chosen.pressure.toFixed(0)}% ${chosen.free}/${chosen.slots}`;
  return beside === undefined ? state : `${state} ${beside.server} ${beside.of}`;
}

const STORED = /^(\d+)% (\d+)\/(\d+)(?: (\S+) (\d+))?$/;

/** The sentence of it. Placements of earlier versions are sentences already. */
export function renderPlacement(server: string, placement: string): string {
  const [whole, pressure, free, slots, other, of] = STORED.exec(placement) ?? [];
  if (whole === undefined) return placement;
  const how =
    other === undefined ? 'the only one of its pool with room' : `better than ${other}, two of ${of} by chance`;
  return `${server}: ${how}; ${pressure} % pressure, ${free} of ${slots} slots free`;
}
