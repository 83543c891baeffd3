/** What all our clients of Kafka have in common: whom they ask, how they prove who they are, and zstd. */
import { connect, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import kafkajs, { type ISocketFactory, type KafkaConfig, type SASLOptions } from 'kafkajs'
import type { Logger } from 'pino'
import { readTls } from '../tls.ts'
import { zstdCodec } from './kafka-codec.ts'
import type { KafkaLogOptions } from './kafka-options.ts'

// It is CommonJS, and Node finds only some of its names.
const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs

const CONNECT_MS = 5_000
const REQUEST_MS = 15_000
const KEEP_ALIVE_MS = 60_000
CompressionCodecs[CompressionTypes.ZSTD] = () => zstdCodec

/** What to do about failures whose own words say it only to those who know Kafka. */
const HINTS: [RegExp, string][] = [
  [/^Closed connection/, 'does this port of the brokers want TLS (`tls: {}`), or a sign-in (`sasl`)?'],
  [/before secure TLS connection/, 'is this a port of the brokers without TLS? Then leave `tls` out'],
  [/current SASL state/, 'this port of the brokers takes no sign-in: leave `sasl` out, or name the port that does'],
  [/self-signed certificate|unable to (get|verify)/, 'name the authority that signed it by `tls.caFile`'],
]

/** What kafkajs says of a failure, and what to do about it. */
export function kafkaReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const [, hint] = HINTS.find(([words]) => words.test(text)) ?? []
  return hint === undefined ? text : `${text}: ${hint}`
}

/** `at` is where the options stand in the config. Throws `TlsError`. */
export async function kafkaConfig(
  { brokers, clientId, tls, sasl }: Pick<KafkaLogOptions, 'brokers' | 'clientId' | 'tls' | 'sasl'>,
  at: string,
  log: Logger,
): Promise<KafkaConfig> {
  const config: KafkaConfig = {
    brokers: brokers.map(broker => broker.replace(BRACKETED, escapedHost)),
    socketFactory,
    clientId,
    connectionTimeout: CONNECT_MS,
    requestTimeout: REQUEST_MS,
    // What kafkajs calls an error is mostly its everyday: what matters is said by those who use it.
    logLevel: log.isLevelEnabled('debug') ? logLevel.INFO : logLevel.NOTHING,
    logCreator: () => entry => log.debug({ ...entry.log }, 'kafkajs'),
  }
  if (tls) config.ssl = await readTls(tls, `${at}.tls`)
  if (sasl) config.sasl = { ...sasl } as SASLOptions
  return config
}

/** An IPv6 address as `brokers` has it. */
const BRACKETED = /^\[.*\]/
/** kafkajs takes what stands before the first colon for the host. */
const escapedHost = (host: string) => host.replaceAll('%', '%25').replaceAll(':', '%3A')

/** As that of kafkajs, for hosts that are escaped, too. */
const socketFactory: ISocketFactory = ({ host: escaped, port, ssl, onConnect }) => {
  const host = BRACKETED.test(escaped) ? decodeURIComponent(escaped.slice(1, -1)) : escaped
  const socket = ssl
    ? connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }), ...ssl }, onConnect)
    : connect({ host, port }, onConnect)
  return socket.setKeepAlive(true, KEEP_ALIVE_MS)
}
