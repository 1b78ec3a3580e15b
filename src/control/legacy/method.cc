// /vtctlservice.Vtctl, the method of the older generation.
#include <chrono>

#include "control/caller_name.h"
#include "base/clock.h"
#include "control/legacy/legacy.h"
#include "rpc/typed.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// Messages carry text. A record's bytes may be none: what is not UTF-8 is shown as U+FFFD.
std::string readable(std::string text) {
  std::string out;
  size_t good = 0;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<uint8_t>(text[i]);
    const size_t length = first < 0x80                    ? 1
                          : first >= 0xc2 && first < 0xe0 ? 2
                          : first >= 0xe0 && first < 0xf0 ? 3
                          : first >= 0xf0 && first < 0xf5 ? 4
                                                          : 0;
    bool valid = length > 0 && i + length <= text.size();
    for (size_t k = 1; valid && k < length; ++k) valid = (static_cast<uint8_t>(text[i + k]) & 0xc0) == 0x80;
    if (valid && length == 3) {
      const auto second = static_cast<uint8_t>(text[i + 1]);
      valid = !(first == 0xe0 && second < 0xa0) && !(first == 0xed && second > 0x9f);  // Overlong, surrogate.
    } else if (valid && length == 4) {
      const auto second = static_cast<uint8_t>(text[i + 1]);
      valid = !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second > 0x8f);
    }
    if (valid) {
      i += length;
      continue;
    }
    out.append(text, good, i - good).append("\xef\xbf\xbd");
    good = ++i;
  }
  return good == 0 ? std::move(text) : out.append(text, good);
}

::logutil::Event to_event(LegacyLevel level, std::string text) {
  ::logutil::Event event;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  event.mutable_time()->set_seconds(std::chrono::duration_cast<std::chrono::seconds>(now).count());
  event.mutable_time()->set_nanoseconds(static_cast<int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now % std::chrono::seconds(1)).count()));
  event.set_level(static_cast<::logutil::Level>(level));
  event.set_file("vtctld");
  event.set_value(readable(std::move(text)));
  return event;
}

using EventWriter = rpc::TypedWriter<vd::ExecuteVtctlCommandResponse>;

net::Task<Status> write_event(EventWriter& writer, LegacyLevel level, std::string text) {
  vd::ExecuteVtctlCommandResponse response;
  *response.mutable_event() = to_event(level, std::move(text));
  return writer.write(response);
}

net::Task<Status> execute(TabletClient& tablets, rpc::Server& server, const std::vector<std::string>* factories,
                          rpc::CallContext context, vd::ExecuteVtctlCommandRequest request, EventWriter writer) {
  const LegacyEnvironment environment{
      .tablets = tablets,
      .vtctld = server.in_process(),
      .action_timeout = request.action_timeout() > 0 ? base::Duration(request.action_timeout()) : std::chrono::hours(1),
      .report = [&writer](LegacyLevel level, std::string text) { return write_event(writer, level, std::move(text)); },
      .streams = streams_of(server),
      .cancel = context.cancel,
      .workflow_factories = factories,
      .who = caller_of(context)};
  co_return co_await run_legacy_command(environment, {request.args().begin(), request.args().end()});
}

}  // namespace

void register_legacy_method(rpc::Server& server, net::Loop& loop, TabletClient& tablets,
                            const std::vector<std::string>* workflow_factories) {
  rpc::handle_server_stream<vd::ExecuteVtctlCommandRequest, vd::ExecuteVtctlCommandResponse>(
      server, "/vtctlservice.Vtctl/ExecuteVtctlCommand", loop,
      [&server, &tablets, workflow_factories](rpc::CallContext context, vd::ExecuteVtctlCommandRequest request,
                                              EventWriter writer) {
        return execute(tablets, server, workflow_factories, std::move(context), std::move(request), writer);
      });
}

}  // namespace vitrail::control
