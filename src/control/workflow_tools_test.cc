#include "control/workflow_tools.h"

#include "control/test_control_plane.h"
#include "rpc/typed.h"
#include "vtworkerdata.pb.h"

namespace vitrail::control {
namespace {

using WorkflowToolsTest = ControlTest;

// S2-40 to S2-42: a Retry is pressed as soon as the vtworker is there.
TEST_F(WorkflowToolsTest, AVtworkerThatWasStartedAMomentAgoIsReached) {
  using Request = ::vtworkerdata::ExecuteVtworkerCommandRequest;
  using Response = ::vtworkerdata::ExecuteVtworkerCommandResponse;
  WorkflowTools tools(*server_, *tablets_, {});
  const uint16_t port = topo::conformance::free_port();
  std::string heard;
  const auto ping = [&] {
    return run(tools.run_on_vtworker("127.0.0.1:" + std::to_string(port), {"Ping", "hello"},
                                     [&heard](std::string_view text) { heard += text; }, {}));
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ping().error().code(), Code::kUnavailable);
  rpc::ServerOptions options;
  options.port = port;
  rpc::Server worker(std::move(options));
  rpc::handle_server_stream<Request, Response>(
      worker, "/vtworkerservice.Vtworker/ExecuteVtworkerCommand", loop_.loop(),
      [](rpc::CallContext, Request request, rpc::TypedWriter<Response> writer) {
        return [](Request asked, rpc::TypedWriter<Response> to) -> net::Task<Status> {
          Response response;
          response.mutable_event()->set_value(asked.args(1));
          co_return co_await to.write(response);
        }(std::move(request), writer);
      });
  ASSERT_TRUE(worker.start().ok());
  const Status reached = ping();
  EXPECT_TRUE(reached.ok()) << reached.error().to_string();
  EXPECT_EQ(heard, "hello");
  run(worker.stop(std::chrono::seconds(1)));
}

}  // namespace
}  // namespace vitrail::control
