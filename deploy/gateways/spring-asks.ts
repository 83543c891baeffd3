/** https://docs.spring.io/spring-cloud-gateway/reference/spring-cloud-gateway-server-webflux/global-filters.html */
import type { AskingSetup, Destination } from './guide.ts'

const filter = ({ limiterUrl, source, token }: Destination) => `import java.time.Duration;
import java.util.List;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.core.Ordered;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.stereotype.Component;
import org.springframework.web.reactive.function.client.WebClient;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

@Component
public class QuotacastFilter implements GlobalFilter, Ordered {
  /** What to do while nobody answers: true lets calls pass. */
  private static final boolean PASSES_WHEN_AWAY = true;
  private static final Duration TIMEOUT = Duration.ofMillis(500);
  private static final List<String> KEYS = List.of("Authorization", "X-Api-Key");
  private static final List<String> PASSED_ON =
      List.of("Content-Type", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Quotacast-Denied");

  private final WebClient limiter = WebClient.builder()
      .baseUrl("${limiterUrl}")
      .defaultHeader("X-Quotacast-Token", "${token}")
      .defaultHeader("X-Quotacast-Gateway", "${source}")
      .build();

  @Override
  public int getOrder() {
    return Ordered.HIGHEST_PRECEDENCE + 100;
  }

  @Override
  public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
    var request = exchange.getRequest();
    return limiter.get().uri("/v1/auth")
        .header("X-Forwarded-Uri", request.getURI().getRawPath())
        .headers(headers -> KEYS.forEach(name -> copy(request.getHeaders(), headers, name)))
        .exchangeToMono(answer -> answer.toEntity(byte[].class))
        .timeout(TIMEOUT)
        .onErrorResume(problem -> Mono.just(ResponseEntity.status(HttpStatus.SERVICE_UNAVAILABLE).build()))
        .flatMap(answer -> {
          if (answer.getStatusCode().is5xxServerError() && PASSES_WHEN_AWAY) return chain.filter(exchange);
          return answer.getStatusCode().value() == 200 ? pass(exchange, chain, answer) : refuse(exchange, answer);
        });
  }

  private Mono<Void> pass(ServerWebExchange exchange, GatewayFilterChain chain, ResponseEntity<byte[]> answer) {
    copy(answer.getHeaders(), exchange.getResponse().getHeaders(), "RateLimit");
    return chain.filter(exchange);
  }

  private Mono<Void> refuse(ServerWebExchange exchange, ResponseEntity<byte[]> answer) {
    var response = exchange.getResponse();
    response.setStatusCode(answer.getStatusCode());
    PASSED_ON.forEach(name -> copy(answer.getHeaders(), response.getHeaders(), name));
    var body = answer.getBody() == null ? new byte[0] : answer.getBody();
    DataBuffer buffer = response.bufferFactory().wrap(body);
    return response.writeWith(Mono.just(buffer));
  }

  private static void copy(HttpHeaders from, HttpHeaders to, String name) {
    var value = from.getFirst(name);
    if (value != null) to.set(name, value);
  }
}`

export const springAsks: readonly AskingSetup[] = [
  {
    title: 'With a global filter',
    run: { by: 'tests', version: 'Spring Cloud 2025.1.2' },
    steps: [
      {
        text: 'Add this to the application. Where its security knows the caller by name, say it in the header `X-Quotacast-Consumer`.',
        snippet: { language: 'java', of: filter },
      },
      {
        text: 'Neither the access log nor spans carry the id of the decision, so that what is used is the larger of what was asked and what was logged, never both.',
      },
    ],
  },
]
