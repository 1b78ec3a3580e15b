#include "base/bench.h"
#include "mysql/messages.h"
#include "mysql/packet.h"
#include "mysql/response_scanner.h"
#include "mysql/statements.h"

int main(int argc, char** argv) {
  using namespace vitrail;
  const base::Bench bench(argc, argv);
  constexpr size_t kRows = 1000;
  constexpr mysql::Capabilities kCapabilities = mysql::kClientProtocol41 | mysql::kClientDeprecateEof;
  std::string response;
  mysql::PacketWriter writer(response, 1);
  mysql::ResultSetWriter result(writer, kCapabilities);
  mysql::ColumnDef column;
  column.name = "c";
  result.begin({&column, 1}, mysql::kStatusAutocommit);
  const std::string text(100, 'x');
  const mysql::Cell cell = text;
  for (size_t i = 0; i < kRows; ++i) (void)result.row({&cell, 1});
  result.end({});
  bench.measure("relay of a row of 100 bytes", kRows, 50, [&] {
    // As relay_response() passes on what came in one read, without the system calls.
    mysql::ResponseScanner scanner;
    scanner.start(mysql::ResponseKind::kQuery, kCapabilities);
    size_t at = 0;
    while (at < response.size()) {
      const auto outcome = scanner.feed(std::string_view(response).substr(at));
      at += outcome.consumed;
      if (outcome.state != mysql::ResponseScanner::State::kMore || outcome.consumed == 0) break;
    }
    base::keep(scanner.summary().rows);
  });

  const mysql::Value value = mysql::Value::of_int(4711);
  std::string execute;
  mysql::encode_stmt_execute_values(execute, 1, {&value, 1}, {}, 0);
  mysql::StatementMemory memory;
  mysql::StmtExecute decoded;
  std::string out;
  bench.measure("execute of one parameter, passed on", 100, 100, [&] {
    for (int i = 0; i < 100; ++i) {
      (void)mysql::decode_stmt_execute_into(decoded, execute, 0, 1, memory);
      out.clear();
      mysql::encode_stmt_execute(out, decoded, 2, {}, mysql::kClientQueryAttributes);
      base::keep(out.size());
    }
  });
}
