/** Reservations as `reservations.lua` tells them. */
import type { Charge, HeldReservation, LimitStore } from './limit-store.ts'
import { CALL_MS_MAX, type RedisConnection } from './redis-connection.ts'

/** Epoch, sequence, made at, expires at (`false`: it has expired), note; then its charges. Numbers are texts. */
type Row = [epoch: string, sequence: string, madeAtMs: string, expiresAtMs: string | false, note: string, ...string[]]

/** Window, bucket, share, amount, and that it is held, as everything of a reservation is. */
const CHARGE_FIELDS = 5

export function createReservationReading(
  connection: RedisConnection,
): Pick<LimitStore, 'reservation' | 'reservations'> {
  const read = async (...args: string[]): Promise<string[]> => {
    const answer = await connection.run('reservations', args, CALL_MS_MAX)
    if (!Array.isArray(answer)) throw new TypeError('reservations are answered with a list')
    return answer.map(String)
  }
  return {
    async reservation({ epoch, sequence }) {
      const [found = ''] = await read('one', String(epoch), String(sequence))
      if (found === 'settled' || found === 'unknown') return found
      const { madeAtMs, expiresAtMs, note } = toReservation(found)
      return { madeAtMs, expiresAtMs, note }
    },
    async reservations(after, max) {
      return (await read('page', String(after?.sequence ?? 0), String(max))).map(toReservation)
    },
  }
}

function toReservation(text: string): HeldReservation {
  const [epoch, sequence, madeAtMs, expiresAtMs, note, ...fields]: Row = JSON.parse(text)
  const charges: Charge[] = []
  for (let at = 0; at < fields.length; at += CHARGE_FIELDS) {
    const [window = 0, bucket = 0, share = 0, amount = 0] = fields.slice(at, at + CHARGE_FIELDS).map(Number)
    charges.push({ window, bucket, share, amount, isHeld: true })
  }
  return {
    reference: { epoch: Number(epoch), sequence: Number(sequence), charges },
    madeAtMs: Number(madeAtMs),
    expiresAtMs: expiresAtMs === false ? null : Number(expiresAtMs),
    note,
  }
}
