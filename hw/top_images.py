"""What a generated top has between link and core to keep images on the chip; all "" without.

    link -> stoic_store -> stoic_core -> stoic_tally -> link

`hw/top.py` writes the rest of the top, and gives what the two units touch other names on the core's
side.
"""

from ..sim import on_chip
from ..sim.core import Core, image_bytes
from ..sim.exceptions import InputError

UNITS = ("stoic_store", "stoic_tally")


def check(core: Core) -> None:
    """Refuse images on the chip that the host could not address.

    Raises:
        InputError: too many of them, too many banks before theirs, or a single class.
    """
    most = on_chip.MAX_WORDS // on_chip.record_words(core)
    if not 0 < core.store <= most:
        raise InputError(f"the host addresses 1..{most} images on the chip, not {core.store}")
    if core.layout.shapes[-1].n_outputs < on_chip.MIN_CLASSES:
        raise InputError("images are kept on the chip to count their classes: of 1 there is none")
    if len(core.layout.banks) >= on_chip.IMAGE_BANK:
        raise InputError(
            f"images on the chip leave {on_chip.IMAGE_BANK} banks to the network, "
            f"not {len(core.layout.banks) + 1}"
        )


def depths(core: Core) -> list[tuple[int, int]]:
    """(first bank after them, words) of consecutive banks, those up to the last of these units."""
    if not core.store:
        return []
    n_classes = core.layout.shapes[-1].n_outputs
    return [
        (on_chip.IMAGE_BANK, 0),
        (on_chip.COUNT_BANK, core.store * on_chip.record_words(core)),
        (on_chip.CONFUSION_BANK, on_chip.N_COUNTS),
        (on_chip.CONFUSION_BANK + 1, n_classes * on_chip.row_words(n_classes)),
    ]


def class_ports(core: Core) -> str:
    """The ports of the core that tell classes."""
    if not core.store:
        return ""
    return """,
        .class_valid_o (class_valid),
        .class_o       (class_given)"""


def units(core: Core) -> str:
    """Images in front of the core and counts behind it, or nothing."""
    if not core.store:
        return ""
    n_classes = core.layout.shapes[-1].n_outputs
    return f"""
    /* images that are kept here, and what is counted of them */
    stoic_store #(
        .IMAGES      ({core.store}),
        .IMAGE_BYTES ({image_bytes(core)}),
        .BANK        ({on_chip.IMAGE_BANK}),
        .TARGET      (TARGET)
    ) u_store (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .s_axis_tdata  (image_tdata),
        .s_axis_tvalid (image_tvalid),
        .s_axis_tready (image_tready),
        .s_axis_tlast  (image_tlast),
        .m_axis_tdata  (sent_tdata),
        .m_axis_tvalid (sent_tvalid),
        .m_axis_tready (sent_tready),
        .m_axis_tlast  (sent_tlast),
        .label_o       (label),
        .label_valid_o (label_valid),
        .label_room_i  (label_room),
        .run_i         (run),
        .send_i        (send),
        .images_i      (n_sent),
        .cfg_valid_i   (cfg_valid),
        .cfg_write_i   (cfg_write),
        .cfg_bank_i    (cfg_bank),
        .cfg_addr_i    (cfg_addr),
        .cfg_data_i    (cfg_data),
        .cfg_rvalid_i  (said_rvalid),
        .cfg_rdata_i   (said_rdata),
        .cfg_rvalid_o  (kept_rvalid),
        .cfg_rdata_o   (kept_rdata)
    );

    stoic_tally #(
        .IMAGES ({core.store}),
        .M      ({n_classes}),
        .BANK   ({on_chip.COUNT_BANK}),
        .TARGET (TARGET)
    ) u_tally (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .label_i       (label),
        .label_valid_i (label_valid),
        .label_room_o  (label_room),
        .class_i       (class_given),
        .class_valid_i (class_valid),
        .busy_i        (busy),
        .run_o         (run),
        .send_o        (send),
        .images_o      (n_sent),
        .s_axis_tvalid (given_tvalid),
        .s_axis_tready (given_tready),
        .m_axis_tvalid (scores_tvalid),
        .m_axis_tready (scores_tready),
        .cfg_valid_i   (cfg_valid),
        .cfg_write_i   (cfg_write),
        .cfg_bank_i    (cfg_bank),
        .cfg_addr_i    (cfg_addr),
        .cfg_data_i    (cfg_data),
        .cfg_rvalid_i  (kept_rvalid),
        .cfg_rdata_i   (kept_rdata),
        .cfg_rvalid_o  (cfg_rvalid),
        .cfg_rdata_o   (cfg_rdata)
    );
"""


def wires(core: Core) -> str:
    """What runs between link, store, core and tally."""
    if not core.store:
        return ""
    class_w = max(1, (core.layout.shapes[-1].n_outputs - 1).bit_length())
    return f"""
    wire [7:0]  sent_tdata, label;
    wire        sent_tvalid, sent_tready, sent_tlast, given_tvalid, given_tready;
    wire        label_valid, label_room, class_valid, run, send, said_rvalid, kept_rvalid;
    wire [{class_w - 1}:0] class_given;
    wire [15:0] n_sent;
    wire [63:0] said_rdata, kept_rdata;"""
