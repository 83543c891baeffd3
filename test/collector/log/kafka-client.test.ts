import { pino } from 'pino'
import { expect, test } from 'vitest'
import { kafkaConfig } from '../../../collector/log/kafka-client.ts'

test('a key that is neither PEM nor a file is not quoted', async () => {
  const options = { brokers: ['127.0.0.1:9092'], clientId: 'test', tls: { key: 'hunter2' } }
  const error = await kafkaConfig(options, pino({ level: 'silent' })).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ message: 'tls of Kafka: key is neither PEM nor a file that can be read (ENOENT)' })
  expect(error).not.toHaveProperty('cause')
})
