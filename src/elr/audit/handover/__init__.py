"""What a run found, handed to other tools in their documented import formats."""

from elr.audit.handover.cleanlab import export_cleanlab as export_cleanlab
from elr.audit.handover.cvat import export_cvat as export_cvat
from elr.audit.handover.fiftyone import export_fiftyone as export_fiftyone
from elr.audit.handover.label_studio import export_label_studio as export_label_studio
