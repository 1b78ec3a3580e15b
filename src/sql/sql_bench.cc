#include "base/bench.h"
#include "sql/fingerprint.h"
#include "sql/parser.h"

int main(int argc, char** argv) {
  using namespace vitrail;
  const base::Bench bench(argc, argv);
  constexpr std::string_view kPointSelect = "SELECT c FROM sbtest1 WHERE id=12345";
  std::array<sql::LiteralPosition, 64> storage;
  bench.measure("fingerprint of a point select", 100, 150, [&] {
    for (int i = 0; i < 100; ++i) base::keep(sql::fingerprint(kPointSelect, storage).fingerprint.low);
  });
  bench.measure("parse of a point select", 100, 500, [&] {
    for (int i = 0; i < 100; ++i) base::keep(sql::parse(kPointSelect).ok());
  });
}
