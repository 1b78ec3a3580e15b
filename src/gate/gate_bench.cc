#include "base/bench.h"
#include "base/metrics.h"
#include "gate/gate_loop.h"
#include "gate/statistics.h"

int main(int argc, char** argv) {
  using namespace vitrail;
  const base::Bench bench(argc, argv);
  base::Metrics metrics("bench");
  gate::Statistics statistics(metrics);
  net::Loop loop;
  const gate::GateSettings settings;
  gate::GateLoop shared(settings, loop,
                        {metrics.counter("Queries", "q"), metrics.counter("Errors", "e"),
                         metrics.counter("Timeouts", "t"), metrics.gauge("Connections", "c"), statistics});
  std::array<sql::LiteralPosition, 64> storage;
  const std::string context = "commerce@primary";
  for (int i = 0; i < 1000; ++i) {
    const std::string other = "select c from t" + std::to_string(i) + " where id = 1";
    shared.remember_plan(sql::fingerprint(other, storage).fingerprint, context, {std::make_shared<plan::Plan>()});
  }
  constexpr std::string_view kPointSelect = "SELECT c FROM sbtest1 WHERE id=12345";
  shared.remember_plan(sql::fingerprint(kPointSelect, storage).fingerprint, context, {std::make_shared<plan::Plan>()});
  bench.measure("text to cached plan", 100, 1000, [&] {
    for (int i = 0; i < 100; ++i) {
      base::keep(shared.look_up_plan(sql::fingerprint(kPointSelect, storage).fingerprint, context));
    }
  });
}
