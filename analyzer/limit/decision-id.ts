/**
 * Decision ids carry what was decided, so that whoever settles needs no look-up:
 * `1.<epoch>.<sequence>.<charges>.<signature>`, charges as `window-bucket-share-amount` joined by `_`, those that are held
 * with `-h` at their end, numbers in base 36. They are signed, because they come back through logs that others write.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { DECISION_ID_CHARACTERS_MAX } from '../../collector/call-record.ts'
import type { Charge, DecisionReference } from './limit-store.ts'

const FORMAT = '1'
/** 132 bits. */
const SIGNATURE_CHARACTERS = 22
const PARTS = 5
const HELD = 'h'

export interface DecisionIds {
  /** The id, or `null` when it would be too long for a call record: such a decision is counted as an unlinked one. */
  encode(reference: DecisionReference): string | null
  /** What the id says, or `null` when we never said it. */
  decode(id: string): DecisionReference | null
}

/** `keys` are newest first: the first one signs, all of them are accepted. */
export function createDecisionIds(keys: readonly string[]): DecisionIds {
  const [newest] = keys
  if (newest === undefined) throw new TypeError('decision ids need a key')
  // All decisions of a life of the store share it, and a number of this size is slow to write in base 36.
  let epochWritten = { epoch: 0, text: '0' }
  const epochText = (epoch: number) => {
    if (epochWritten.epoch !== epoch) epochWritten = { epoch, text: toText(epoch) }
    return epochWritten.text
  }
  return {
    encode({ epoch, sequence, charges }) {
      const content = `${FORMAT}.${epochText(epoch)}.${toText(sequence)}.${charges.map(encodeCharge).join('_')}`
      const id = `${content}.${signatureOf(newest, content)}`
      return id.length > DECISION_ID_CHARACTERS_MAX ? null : id
    },
    decode(id) {
      if (id.length > DECISION_ID_CHARACTERS_MAX) return null
      const end = id.lastIndexOf('.')
      const content = id.slice(0, Math.max(0, end))
      const signature = Buffer.from(id.slice(end + 1))
      if (signature.length !== SIGNATURE_CHARACTERS) return null
      const isOurs = keys.some(key => timingSafeEqual(Buffer.from(signatureOf(key, content)), signature))
      return isOurs ? decodeContent(content) : null
    },
  }
}

function decodeContent(content: string): DecisionReference | null {
  const [format, epoch = '', sequence = '', text = ''] = content.split('.', PARTS)
  if (format !== FORMAT) return null
  const charges = text === '' ? [] : text.split('_').map(decodeCharge)
  // Signed before negative amounts, which have no place in an id, were kept out of it: no bucket would be a number after it.
  if (charges.some(({ amount }) => Number.isNaN(amount))) return null
  return { epoch: toNumber(epoch), sequence: toNumber(sequence), charges }
}

/** SHA-3 with the key in front is a MAC, as it cannot be extended; in one call it takes a quarter of an HMAC's time. */
const signatureOf = (key: string, content: string) =>
  hash('sha3-256', `${key.length}:${key}${content}`, 'base64url').slice(0, SIGNATURE_CHARACTERS)

const toText = (number: number) => number.toString(36)
const toNumber = (text: string) => Number.parseInt(text, 36)

const encodeCharge = ({ window, bucket, share, amount, isHeld }: Charge) =>
  `${toText(window)}-${toText(bucket)}-${toText(share)}-${toText(amount)}${isHeld ? `-${HELD}` : ''}`

function decodeCharge(text: string): Charge {
  const [window = '', bucket = '', share = '', amount = '', held] = text.split('-')
  const numbers = {
    window: toNumber(window),
    bucket: toNumber(bucket),
    share: toNumber(share),
    amount: toNumber(amount),
  }
  return { ...numbers, isHeld: held === HELD }
}
