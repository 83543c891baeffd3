/** Header compression, RFC 7541: reading what peers write, and writing without their table. */
import { ERROR, Http2Error } from './frames.ts'
import { decodeHuffman } from './huffman.ts'

/** Bytes of the dynamic table; the default, which we leave as it is. */
const TABLE_BYTES_MAX = 4096
/** What an entry counts beside its name and its value. */
const ENTRY_BYTES = 32
/** Longer ones are wrong: four more bytes of seven bits. */
const INTEGER_SHIFT_MAX = 21
const CONTINUED = 0x80
const HUFFMAN = 0x80

/** RFC 7541 appendix A; names without a value stand for an empty one. */
const STATIC = [
  ...[':authority', ':method GET', ':method POST', ':path /', ':path /index.html', ':scheme http', ':scheme https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map(status => `:status ${status}`),
  ...['accept-charset', 'accept-encoding gzip, deflate', 'accept-language', 'accept-ranges', 'accept'],
  ...['access-control-allow-origin', 'age', 'allow', 'authorization', 'cache-control', 'content-disposition'],
  ...['content-encoding', 'content-language', 'content-length', 'content-location', 'content-range', 'content-type'],
  ...['cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match'],
  ...['if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate'],
  ...['proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie'],
  ...['strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate'],
].map(line => {
  const at = line.indexOf(' ')
  return at === -1 ? { name: line, value: '' } : { name: line.slice(0, at), value: line.slice(at + 1) }
})

interface Field {
  readonly name: string
  readonly value: string
}

export interface HpackDecoder {
  /**
   * The fields of a whole block, in their order; `null` when they are more than `listBytesMax`, by RFC 9113's count.
   * Throws `Http2Error`, after which nothing more can be read on the connection.
   */
  decode(block: Buffer): readonly Field[] | null
  /** Changes with the table: what a block means stays the same while it does. */
  generation(): number
}

const wrong = (what: string) => new Http2Error(ERROR.compression, what)

/** Where reading has come to. */
interface Cursor {
  readonly bytes: Buffer
  at: number
}

/** A number whose first bits, as many as `prefixBits`, are in the byte that is there. */
function readInteger(cursor: Cursor, prefixBits: number): number {
  const { bytes } = cursor
  const most = (1 << prefixBits) - 1
  const first = byteAt(cursor) & most
  if (first < most) return first
  let value = most
  for (let shift = 0; shift <= INTEGER_SHIFT_MAX; shift += 7) {
    const byte = byteAt(cursor)
    value += (byte & ~CONTINUED) << shift
    if (byte < CONTINUED) return value
  }
  throw wrong(`a number is too large, at ${cursor.at} of ${bytes.length}`)
}

function byteAt(cursor: Cursor): number {
  const byte = cursor.bytes[cursor.at]
  if (byte === undefined) throw wrong('a block ends within a field')
  cursor.at += 1
  return byte
}

function readText(cursor: Cursor): string {
  const { bytes } = cursor
  const isHuffman = ((bytes[cursor.at] ?? 0) & HUFFMAN) !== 0
  const length = readInteger(cursor, 7)
  const from = cursor.at
  const to = from + length
  if (to > bytes.length) throw wrong('a text ends behind its block')
  cursor.at = to
  if (!isHuffman) return bytes.toString('latin1', from, to)
  const text = decodeHuffman(bytes, from, to)
  if (text === null) throw wrong('a text is no Huffman code')
  return text
}

const bytesOf = ({ name, value }: Field) => name.length + value.length + ENTRY_BYTES

/** Fields that were written to be found again, the newest first. */
function createTable() {
  const entries: Field[] = []
  let bytes = 0
  let bytesMax = TABLE_BYTES_MAX
  let generation = 0
  const evict = () => {
    while (bytes > bytesMax) {
      const oldest = entries.shift()
      if (oldest === undefined) return
      bytes -= bytesOf(oldest)
    }
  }
  return {
    generation: () => generation,
    get(index: number): Field {
      const field = index <= STATIC.length ? STATIC[index - 1] : entries[entries.length - (index - STATIC.length)]
      if (field === undefined) throw wrong(`there is no field ${index}`)
      return field
    },
    add(field: Field) {
      generation += 1
      entries.push(field)
      bytes += bytesOf(field)
      evict()
    },
    resize(size: number) {
      if (size > TABLE_BYTES_MAX) throw wrong('the table is larger than we let it be')
      generation += 1
      bytesMax = size
      evict()
    },
  }
}

export function createHpackDecoder(listBytesMax: number): HpackDecoder {
  const table = createTable()
  const readField = (cursor: Cursor, prefixBits: number): Field => {
    const index = readInteger(cursor, prefixBits)
    const name = index === 0 ? readText(cursor) : table.get(index).name
    return { name, value: readText(cursor) }
  }
  return {
    generation: table.generation,
    decode(block) {
      const cursor = { bytes: block, at: 0 }
      const fields: Field[] = []
      let bytes = 0
      while (cursor.at < block.length) {
        const byte = block[cursor.at] ?? 0
        // 001: another size of the table, only before the first field.
        if (byte >= 0x20 && byte < 0x40) {
          if (bytes > 0) throw wrong('the size of the table changes within a block')
          table.resize(readInteger(cursor, 5))
          continue
        }
        // 1: a field of the table; 01: one to be kept there; 000: one that is not.
        const field = byte >= 0x80 ? table.get(readInteger(cursor, 7)) : readField(cursor, byte >= 0x40 ? 6 : 4)
        if (byte < 0x80 && byte >= 0x40) table.add(field)
        bytes += bytesOf(field)
        // The others are read all the same, as they change the table.
        if (bytes <= listBytesMax) fields.push(field)
      }
      return bytes <= listBytesMax ? fields : null
    },
  }
}

/** For a peer whose table we never use: said before the first field of the first block, it holds for all settings. */
export const NO_TABLE = Buffer.from([0x20])

/** A block of fields that go into no table. Texts are ASCII. */
export function encodeFields(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), encodeText(name), encodeText(value)]))
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const length: number[] = []
  const most = HUFFMAN - 1
  if (bytes.length < most) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  let rest = bytes.length - most
  for (; rest >= CONTINUED; rest >>>= 7) length.push((rest & ~CONTINUED & 0xff) | CONTINUED)
  return Buffer.concat([Buffer.from([most, ...length, rest]), bytes])
}
