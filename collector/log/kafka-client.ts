/** What all our clients of Kafka have in common: whom they ask, how they prove who they are, and zstd. */
import kafkajs, { type KafkaConfig, type SASLOptions } from 'kafkajs'
import type { Logger } from 'pino'
import { readTls } from '../tls.ts'
import { zstdCodec } from './kafka-codec.ts'
import type { KafkaLogOptions } from './kafka-options.ts'

// It is CommonJS, and Node finds only some of its names.
const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs

const CONNECT_MS = 5_000
const REQUEST_MS = 15_000
CompressionCodecs[CompressionTypes.ZSTD] = () => zstdCodec

/** `at` is where the options stand in the config. Throws `TlsError`. */
export async function kafkaConfig(
  { brokers, clientId, tls, sasl }: Pick<KafkaLogOptions, 'brokers' | 'clientId' | 'tls' | 'sasl'>,
  at: string,
  log: Logger,
): Promise<KafkaConfig> {
  const config: KafkaConfig = {
    brokers: [...brokers],
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
