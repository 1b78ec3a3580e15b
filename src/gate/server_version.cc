#include "gate/server_version.h"

namespace vitrail::gate {

std::string greeting_version(std::string_view version) {
  const bool prefixed = version.starts_with("10.") && version.find("MariaDB") != std::string_view::npos;
  return (prefixed ? "5.5.5-" : "") + std::string(version);
}

net::Task<Result<std::string>> ask_greeting_version(net::MysqlClientSettings settings, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto client, co_await net::MysqlClient::connect(std::move(settings), wait));
  CO_ASSIGN_OR_RETURN(const auto result, co_await client.query("select version()", wait));
  co_await client.quit();
  if (result.text(0, 0).empty()) co_return fail(Code::kInternal, "a server without a version");
  co_return greeting_version(result.text(0, 0));
}

}  // namespace vitrail::gate
