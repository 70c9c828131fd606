"""No file imports another that leads back to it; what rooms may import each other is told by the contracts."""

import grimp
import networkx


def test_no_file_leads_back_to_itself():
    graph = grimp.build_graph("sklab", exclude_type_checking_imports=True)
    imports = ((ours, theirs) for ours in graph.modules for theirs in graph.find_modules_directly_imported_by(ours))
    components = networkx.strongly_connected_components(networkx.DiGraph(imports))
    assert [sorted(modules) for modules in components if len(modules) > 1] == []
