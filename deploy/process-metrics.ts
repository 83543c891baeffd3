/** What a process takes of its machine; the store's engine is a process of its own, which is not in it. */
import { performance } from 'node:perf_hooks'
import { metrics } from '@opentelemetry/api'

/** Measured whenever metrics are read. */
export function measureProcess(): void {
  const meter = metrics.getMeter('quotacast')
  const cpu = meter.createObservableCounter('quotacast_cpu_seconds_total', {
    description: 'Processor time that the process has taken.',
    unit: 's',
  })
  cpu.addCallback(result => {
    const { user, system } = process.cpuUsage()
    result.observe((user + system) / 1e6)
  })
  const busy = meter.createObservableCounter('quotacast_event_loop_busy_seconds_total', {
    description: 'Time for which the event loop was busy: at 1 a second whoever asks waits.',
    unit: 's',
  })
  busy.addCallback(result => result.observe(performance.eventLoopUtilization().active / 1000))
  const memory = meter.createObservableGauge('quotacast_memory_bytes', {
    description: "Memory that the process holds of its machine's.",
    unit: 'By',
  })
  memory.addCallback(result => result.observe(process.memoryUsage.rss()))
}
