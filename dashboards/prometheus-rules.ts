/** Alert rules for Prometheus, whose Alertmanager tells whoever should know: of quotas, and of Quotacast itself. */
import { newly } from './promql.ts'

interface Rule {
  alert: string
  expr: string
  /** For so long, before it rings. */
  for?: string
  severity: 'warning' | 'critical'
  summary: string
  description: string
}

/** Subjects are no labels: there may be any number of them. Who it is the API and the boards tell. */
const WHO = '`quotacast forecast` and the board Exhaustion say who.'

const QUOTAS: readonly Rule[] = [
  {
    alert: 'QuotacastWillRunOut',
    expr: 'sum by (quota) (quotacast_subjects_at_risk) > 0',
    for: '5m',
    severity: 'warning',
    summary: '{{ $labels.quota }} will probably run out before its reset',
    description: `For {{ $value }} of its subjects. Spread or lower the calls, or grant more. ${WHO}`,
  },
  {
    alert: 'QuotacastHasRunOut',
    expr: 'sum by (quota) (quotacast_subjects_used_up) > 0',
    severity: 'critical',
    summary: '{{ $labels.quota }} has run out',
    description: `For {{ $value }} of its subjects. Until the reset calls are refused, or run into the limit of the provider. A grant gives more at once. ${WHO}`,
  },
  {
    alert: 'QuotacastDenies',
    expr: 'sum by (quota) (increase(quotacast_decisions_total{result="denied"}[10m])) > 0',
    for: '5m',
    severity: 'warning',
    summary: '{{ $labels.quota }} denies calls',
    description: '{{ printf "%.0f" $value }} decisions in ten minutes went against the caller.',
  },
]

const ITSELF: readonly Rule[] = [
  {
    alert: 'QuotacastDown',
    expr: 'up{job="quotacast"} == 0',
    for: '2m',
    severity: 'critical',
    summary: 'The role at {{ $labels.instance }} does not answer',
    description: 'It is not running, or refuses the token. Its log says why.',
  },
  {
    alert: 'QuotacastLost',
    expr: `${newly('quotacast_log_losses_total', '1h')} + ${newly('quotacast_store_audit_differences_total', '1h')} > 0`,
    severity: 'critical',
    summary: 'Entries of the log were lost, or log and store differ',
    description: 'The log of the collector names them; `quotacast audit` compares again.',
  },
  {
    alert: 'QuotacastStoreBehind',
    expr: 'max(quotacast_log_lag_seconds) > 600',
    for: '5m',
    severity: 'warning',
    summary: 'Calls wait for the store',
    description:
      'The oldest for {{ humanizeDuration $value }}. Forecasts do not know them yet; `/readyz` of the collector says why.',
  },
  {
    alert: 'QuotacastForecastsOld',
    expr: 'increase(quotacast_ticks_skipped_total[10m]) > 0 unless increase(quotacast_tick_seconds_count[10m]) > 0',
    for: '5m',
    severity: 'warning',
    summary: 'The analyzer at {{ $labels.instance }} makes no forecasts',
    description: 'The store does not answer it: `/readyz` says why.',
  },
  {
    alert: 'QuotacastDecidesAlone',
    expr: 'sum by (instance) (increase(quotacast_degraded_decisions_total[5m])) > 0',
    for: '2m',
    severity: 'warning',
    summary: 'The limiter at {{ $labels.instance }} decides without its counters',
    description: 'Quotas answer as their `onStoreFailure` says: `/readyz` says why.',
  },
  {
    alert: 'QuotacastSourceBroken',
    expr: 'sum by (source) (increase(quotacast_sources_failed_total[15m])) > 0',
    for: '5m',
    severity: 'warning',
    summary: 'Calls of {{ $labels.source }} do not come in',
    description: 'Its way in broke and is tried again: `/readyz` of the collector says why.',
  },
]

const toGroup = (name: string, rules: readonly Rule[]) => ({
  name,
  rules: rules.map(({ alert, expr, for: lasting, severity, summary, description }) => ({
    alert,
    expr,
    ...(lasting === undefined ? {} : { for: lasting }),
    labels: { severity, product: 'quotacast' },
    annotations: { summary, description },
  })),
})

/** The content of `prometheus.rules.json`: Prometheus reads YAML, and JSON is YAML. */
export const prometheusRuleFile = (): string =>
  `${JSON.stringify({ groups: [toGroup('quotacast-exhaustion', QUOTAS), toGroup('quotacast-itself', ITSELF)] }, null, 2)}\n`
